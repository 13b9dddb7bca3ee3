"""What cleaning a set would take: a sample of it is cleaned, measured and extrapolated."""

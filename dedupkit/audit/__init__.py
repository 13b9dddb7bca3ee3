"""What a trained model gives away: extraction, inpainting, membership, and the exposure of planted canaries."""

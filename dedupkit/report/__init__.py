"""What a run did: report.json for machines, report.html for people."""

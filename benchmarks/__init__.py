"""Speed and accuracy runs: scripts and their recorded results."""

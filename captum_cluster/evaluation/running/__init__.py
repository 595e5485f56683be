"""What a run does with each image, and what it writes of it."""

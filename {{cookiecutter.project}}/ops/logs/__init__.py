"""What the logs of any worker tell: lines, what they mean, and the story of boots, freezes and requests."""

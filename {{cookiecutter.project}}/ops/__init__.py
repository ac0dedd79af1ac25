"""What an operator runs: nothing here goes into the image. ``python -m ops`` starts it."""

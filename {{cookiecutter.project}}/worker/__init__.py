"""The worker: everything that runs in the image. ``python -m worker`` starts it."""

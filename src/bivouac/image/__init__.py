"""Image v2: images, their life and their bytes."""

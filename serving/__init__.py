"""A small web service over the champion: an image in, its label and probabilities out; it follows the alias while it answers."""

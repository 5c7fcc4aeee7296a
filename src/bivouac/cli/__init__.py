"""The bivouac command."""

"""WorldNet on disk: annotations and media, read with limits and written as a whole."""

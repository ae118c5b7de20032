"""WorldNet: transitions between multimodal states, on disk as plain media files (WorldGPT §4)."""

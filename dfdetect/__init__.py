"""The command `dfdetect`, and the demo that goes the whole way."""

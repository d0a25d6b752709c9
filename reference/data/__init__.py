"""Where the text comes from: generated, read from files, and turned into batches."""

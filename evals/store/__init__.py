"""The run folder: the only room that writes measurement files, and the reader through which everyone else sees them."""

"""Weight codecs: where the non-zeros are, what they are worth, and which code is smallest. Pure numpy."""

"""The released checkpoint layout: which file lies where, read strictly, written as it was."""

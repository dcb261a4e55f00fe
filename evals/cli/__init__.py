"""The command line `uniar-eval`: one file a verb, each imported only when it is called. Words and exit codes, no measuring."""

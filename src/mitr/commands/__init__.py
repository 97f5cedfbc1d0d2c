"""The commands: thin functions whose signatures and docstrings are the help; what is heavy is imported inside."""

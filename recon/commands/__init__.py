"""The subcommands, one file each with its parser; heavy packages are imported only when a command runs."""

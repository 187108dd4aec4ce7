"""What the subcommands do; each module is imported only when its command is called."""

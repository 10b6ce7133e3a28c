"""What the command line can do; one file for those that read, one for the site, one for those that run."""

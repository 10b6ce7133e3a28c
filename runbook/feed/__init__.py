"""The feed: a second observer that holds its own subscription and says where prices come from, and why."""

"""Pictures that the project draws itself, so that it can be tried without a single photograph."""

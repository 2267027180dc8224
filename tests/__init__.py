"""The tests. A package, so that child processes find this one and not one that a dependency installs by that name."""

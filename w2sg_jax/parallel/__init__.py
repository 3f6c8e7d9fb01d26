"""Who shares the work: a mesh of devices, a group of processes."""

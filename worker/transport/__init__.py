"""Transports: where frames come from and where events go, all or nothing."""

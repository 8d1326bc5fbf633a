"""Who reaches whom and with which rights, tried on live guests."""

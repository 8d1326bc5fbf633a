"""Which machines reach each other and with which rights, tried on live guests."""

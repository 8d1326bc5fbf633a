"""An experiment in a lab: commands with what they really printed, and one packet at every place it passes."""

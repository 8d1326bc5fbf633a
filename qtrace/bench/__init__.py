"""A plan becomes cells, cells become a recorded run; the one room that joins the others."""

"""How HTTP is spoken with strangers: bounds, deadlines, and answers that wait for their reader."""

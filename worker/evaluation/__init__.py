"""How good it is, on people and footage that took no part in making it. For development: serving imports none of it."""

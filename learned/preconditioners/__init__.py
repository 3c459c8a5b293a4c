"""Networks and learned parts that propose search directions; flexible CG decides how far to go along them."""

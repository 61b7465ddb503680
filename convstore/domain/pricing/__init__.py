"""What an answer costs: the price that applies to it (book.py, library.py), and the lines of its cost (cost.py)."""

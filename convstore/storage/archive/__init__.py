"""Exchanges with all that is kept of them: read to leave, and put back.

places    which exchanges there are of conversations, in the order they leave in
reading   exchanges whole, a page at a time
putting   exchanges put back, a batch a transaction
"""

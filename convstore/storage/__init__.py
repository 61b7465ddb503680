"""The database: SQLAlchemy Core, and nothing else in here or outside of here.

Query functions take a Scope, which is only to be had for a project; the few that look across projects are in
`everywhere.py`. What comes out are values of `domain`, never rows.
"""

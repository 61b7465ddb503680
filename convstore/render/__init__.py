"""What people read: domain objects as text and as pages. Pure functions, and the only room that knows Jinja."""

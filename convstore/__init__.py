"""convstore: a gateway that remembers every conversation with a language model.

Start reading at docs/architecture.md, or at `convstore.api`, where every URL is on one screen.
"""

__version__ = "0.1.0"

"""Files of conversations, ours and those of others, read as records: pure reading, a conversation or a line at a time.

formats.py      what can be read, and `reading`, the way to read it
sources.py      plain files, gzip, zips (zips.py); streams.py: their bytes, distrusted; detection.py: what they are
lines.py, elements.py   the lines of a file, the elements of one long array; values.py: JSON that is safe to go on with
chatgpt.py, claude.py, completions.py, llm.py   one module a format, with its parts beside it
native/         our own format, which is written as well
turns.py        trees of messages cut into exchanges (forest.py: the trees); pieces.py: items, and calls made to pair
"""

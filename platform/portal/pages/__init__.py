"""Pages: views, forms and URLs, by topic. They read and change nothing themselves; access and
actions do.
"""

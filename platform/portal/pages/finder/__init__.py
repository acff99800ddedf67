"""Find an app, a page, a code or a request by a few words, on a page or with Ctrl-K."""

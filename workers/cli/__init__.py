"""What the operator's commands (`manage.py image`, `router`, `stack`) do: each function returns an `Answer`."""

#!/bin/sh
# Without DATABASE_URL the tasks are in a file of this instance.
# The release phase ran in another instance, so the tables do not exist here.
[ -n "$DATABASE_URL" ] || python manage.py migrate --no-input
exec gunicorn --bind "0.0.0.0:$PORT" --workers 1 --threads 8 --no-control-socket todo.wsgi

#!/bin/sh
# Without DATABASE_URL the tasks lie in a file of this very instance. The release phase ran in another one, so its tables are not here.
[ -n "$DATABASE_URL" ] || python manage.py migrate --no-input
exec gunicorn --bind "0.0.0.0:$PORT" --workers 1 --threads 8 --no-control-socket todo.wsgi

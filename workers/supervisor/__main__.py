"""`python -m workers.supervisor`: the command that the process manager runs."""

from workers.supervisor.main import main

if __name__ == "__main__":
    main()

"""What is special to JavaScript: versions of Node.js, scripts, development servers and sites."""

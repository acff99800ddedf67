"""The parts of Java builds: Maven and Gradle, the Java version, and the program to start."""

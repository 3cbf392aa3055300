"""What whoever runs an installation needs: backup, restore, and a doctor. Each is a command of its own."""

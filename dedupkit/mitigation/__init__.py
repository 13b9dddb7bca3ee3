"""What makes a kept picture harder to learn by heart: noise, brightness and their like."""

"""The LightningModule with its losses, noising, schedules, callbacks and command line."""

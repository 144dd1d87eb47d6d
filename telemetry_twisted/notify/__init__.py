"""Takes alerts to people where they are: to webhooks, and to an Alertmanager."""

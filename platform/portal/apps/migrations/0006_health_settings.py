import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("apps", "0005_waking"),
    ]

    operations = [
        migrations.CreateModel(
            name="HealthSettings",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("http", "HTTP: a GET of a path"),
                            ("tcp", "TCP: a connection to its port"),
                            ("command", "Command inside the instance"),
                        ],
                        default="http",
                        max_length=7,
                    ),
                ),
                ("path", models.CharField(default="/", max_length=200)),
                ("command", models.TextField(blank=True)),
                ("timeout", models.FloatField(default=5.0)),
                ("start_period", models.FloatField(default=30.0)),
                ("interval", models.FloatField(default=10.0)),
                ("attempts", models.PositiveSmallIntegerField(default=3)),
                (
                    "app",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="health_settings",
                        to="apps.app",
                    ),
                ),
            ],
        ),
    ]

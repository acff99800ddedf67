from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("apps", "0004_alter_instance_state"),
    ]

    operations = [
        migrations.AlterField(
            model_name="instance",
            name="state",
            field=models.CharField(
                choices=[
                    ("starting", "Starting"),
                    ("waking", "Waking"),
                    ("live", "Live"),
                    ("draining", "Draining"),
                    ("asleep", "Asleep"),
                    ("crashed", "Crashed"),
                    ("stopped", "Stopped"),
                ],
                max_length=10,
            ),
        ),
    ]
